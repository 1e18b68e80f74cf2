"""An engineer in a repository: a loop of tool calls. Knows a chat client and a workspace, no engine."""

#!/bin/sh
# Real tools against a real server: aider edits a file in a repository, Qwen Code, opencode, Claude Code and Codex call a tool.
# usage: scripts/real_tools.sh [URL] [MODEL]      with `inhouse serve` running at URL (default http://127.0.0.1:8080).
# Needs aider, qwen, opencode, claude and codex on the path, each where it is to be tried:
#   pip install aider-chat          (in an environment of its own)
#   npm install @qwen-code/qwen-code opencode-ai @anthropic-ai/claude-code @openai/codex
# The Python clients of the APIs are tried by scripts/real_clients.py.
# Each works in a folder and with a home of its own, so that no configuration of yours is read or changed.
set -eu
url=${1:-http://127.0.0.1:8080}
model=${2:-starter}
inhouse=${INHOUSE:-inhouse}
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
failed=0

workplace() { # a repository and a home for the tool of that name
  mkdir -p "$top/$1/home" "$top/$1/repo"
  cd "$top/$1/repo"
  printf 'def greet(name):\n    return "Hello " + name\n' > greet.py
  git init -q . && git add . && git -c user.name=t -c user.email=t@t commit -qm start
  (HOME="$top/$1/home" "$inhouse" connect "$1" --url "$url" --model "$model" --write)
}

verdict() { # name, exit code
  if [ "$2" = 0 ]; then echo "$1: done"; else echo "$1: NOT done"; failed=1; fi
}

if command -v aider >/dev/null; then
  workplace aider
  HOME="$top/aider/home" timeout 600 aider --no-check-update --no-analytics --yes-always --no-gitignore \
    --edit-format whole --map-tokens 0 --message "Let greet end the text with an exclamation mark." greet.py </dev/null || true
  code=0
  python3 -c 'from greet import greet; assert greet("Ada").endswith("!"), greet("Ada")' || code=1
  [ "$(git rev-list --count HEAD)" -gt 1 ] || code=1
  git --no-pager show --stat HEAD
  verdict aider "$code"
fi

if command -v qwen >/dev/null; then
  workplace qwen-code
  mkdir .qwen # all of its tools and its notes on memory are a prompt of 15,000 tokens
  cat > .qwen/settings.json << 'CONFIG'
{"tools": {"core": ["read_file"], "exclude": ["agent", "skill", "tool_search", "task_stop",
 "send_message", "ask_user_question", "exit_plan_mode"]},
 "memory": {"enableManagedAutoMemory": false, "enableManagedAutoDream": false}}
CONFIG
  code=1
  for attempt in 1 2 3; do # the starter model does not always call: it sometimes invents what is in the file
    HOME="$top/qwen-code/home" timeout 300 qwen --yolo --output-format stream-json \
      --system-prompt "You are a coding assistant. Use the tools. The repository is $PWD." \
      "Read the file greet.py with your read_file tool and say which function is in it." </dev/null > "$top/qwen.jsonl" || true
    grep -q '"type":"tool_use"' "$top/qwen.jsonl" && code=0 && break
    echo "attempt $attempt: no tool was called"
  done
  grep -o '"type":"tool_use"[^}]*}' "$top/qwen.jsonl" | head -3
  tail -c 600 "$top/qwen.jsonl"; echo
  verdict qwen-code "$code"
fi

if command -v opencode >/dev/null; then
  workplace opencode
  cat > opencode.json << 'CONFIG'
{"agent": {"small": {"mode": "primary", "description": "a small model's", "tools": {"*": false, "read": true},
  "prompt": "You are a coding assistant. Use the tools."}}}
CONFIG
  HOME="$top/opencode/home" XDG_CONFIG_HOME="$top/opencode/home/.config" timeout 300 opencode run --agent small --format json \
    "Read the file greet.py with your read tool and say which function is in it." </dev/null > "$top/opencode.jsonl" || true
  code=0
  grep -q '"type":"tool_use"' "$top/opencode.jsonl" || code=1
  grep -o '"tool":"[a-z_]*"' "$top/opencode.jsonl" | sort | uniq -c
  tail -c 600 "$top/opencode.jsonl"; echo
  verdict opencode "$code"
fi

if command -v claude >/dev/null; then
  workplace claude-code
  code=1
  for attempt in 1 2 3; do
    HOME="$top/claude-code/home" DISABLE_TELEMETRY=1 timeout 600 claude -p --model "$model" --tools Read \
      --dangerously-skip-permissions --max-turns 4 --output-format stream-json --verbose \
      --system-prompt "You are a coding assistant. Use the tools. The repository is $PWD." \
      "Read the file $PWD/greet.py with your Read tool and say which function is in it." </dev/null > "$top/claude.jsonl" || true
    grep -q '"type":"tool_use"' "$top/claude.jsonl" && code=0 && break
    echo "attempt $attempt: no tool was called"
  done
  grep -o '"type":"tool_use"[^}]*}' "$top/claude.jsonl" | head -3
  tail -c 600 "$top/claude.jsonl"; echo
  verdict claude-code "$code"
fi

if command -v codex >/dev/null; then
  workplace codex
  code=1
  for attempt in 1 2 3; do
    HOME="$top/codex/home" CODEX_HOME="$top/codex/home/.codex" timeout 600 codex exec --json --skip-git-repo-check \
      --dangerously-bypass-approvals-and-sandbox "Print the file greet.py with your shell tool and say which function is in it." \
      </dev/null > "$top/codex.jsonl" || true
    grep -q '"type":"command_execution"' "$top/codex.jsonl" && code=0 && break
    echo "attempt $attempt: no tool was called"
  done
  tail -c 600 "$top/codex.jsonl"; echo
  verdict codex "$code"
fi
exit "$failed"

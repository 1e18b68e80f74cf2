"""Has a model write a test that shows a problem, where all tests of a repository pass."""

"""The process that runs one invocation: host side and child side."""

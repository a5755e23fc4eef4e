"""What AI.run means."""

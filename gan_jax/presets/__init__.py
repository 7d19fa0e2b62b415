"""What the configs of one paper share: `configs/` names the single runs."""

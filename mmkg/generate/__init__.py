"""From evidence to an answer whose every sentence cites what it stands on."""

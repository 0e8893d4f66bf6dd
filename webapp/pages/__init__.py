"""What all pages share: the shell, icons, small drawings, rendered documents."""

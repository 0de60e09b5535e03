"""Who runs Dargah: operators, their roles, and the sessions of their browsers."""

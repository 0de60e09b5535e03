"""What strangers and weak tokens try, by bytes on a live port."""

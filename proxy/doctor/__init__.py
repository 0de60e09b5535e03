"""`dargah doctor`: looks at a process and a merchant's set-up and says what to do."""

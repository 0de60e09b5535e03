"""`dargah doctor`: checks a process and a merchant's set-up, and advises."""

"""Jobs as plain data, the evaluator that measures them, and who is promoted from a rung."""

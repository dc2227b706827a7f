"""Settings chosen by an honest search: equal budgets, validation rows alone, and one look at the test rows."""

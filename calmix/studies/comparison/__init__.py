"""Methods side by side: the same network trained with each, over several seeds; which one to take, and why."""

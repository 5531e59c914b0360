"""Episodic memory (EM-LLM): read a long text once, recall the events that matter."""

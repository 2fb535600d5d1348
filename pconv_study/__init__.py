"""The study: experiments, their statistics and what the notebooks call."""

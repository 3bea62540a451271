"""Do all ways of running a model agree? One clip through readers, commands, frameworks, runtimes and exports."""

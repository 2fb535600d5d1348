"""The subcommands of python -m pconv_core, a module each: `add(commands)` describes and runs it."""

"""The subcommands of python -m pconv_core, a module each: --help is its docstring."""

"""Functions named as the file they are in: `report.sparsity` is one, in report/sparsity.py.

Once imported, the name in the subpackage is the function. Griffe, which mkdocstrings reads the
code with, takes the file.
"""

from typing import Any

import griffe


class ShadowedNames(griffe.Extension):
    """Gives such a name to the function."""

    def on_package(self, *, pkg: griffe.Module, loader: Any, **kwargs: Any) -> None:
        subpackages = [pkg, *pkg.modules.values()]
        files = [
            member for subpackage in subpackages for member in _files_named_as_an_export(subpackage)
        ]
        # By the objects, not by their paths, which lead through the file's name.
        targets = {f"{file.path}.{name}": found for file in files for name, found in _own(file)}
        targets |= {file.path: targets[f"{file.path}.{file.name}"] for file in files}
        for subpackage in subpackages:
            for name in subpackage.exports or []:
                member = subpackage.members[name]
                path = member.target_path if member.is_alias else member.path
                if path in targets:
                    subpackage.members[name] = griffe.Alias(name, targets[path], parent=subpackage)


def _files_named_as_an_export(subpackage: griffe.Module) -> list[griffe.Module]:
    """Not a subpackage that is exported itself, though it may have a function of its name."""
    imported = [name for name in subpackage.exports or [] if _is_of_its_file(subpackage, name)]
    members = [subpackage.members[name] for name in imported]
    return [member for member in members if not member.is_alias and member.is_module]


def _is_of_its_file(subpackage: griffe.Module, name: str) -> bool:
    """Whether a subpackage imports a name from the file of that name."""
    return str(subpackage.imports.get(name, "")).endswith(f".{name}.{name}")


def _own(file: griffe.Module) -> list[tuple[str, griffe.Object]]:
    """All that can be named in a file, imported or not."""
    members = file.members.items()
    return [(name, m.final_target if m.is_alias else m) for name, m in members if m.is_public]

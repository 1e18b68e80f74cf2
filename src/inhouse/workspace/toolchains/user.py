"""What is known of the user's shell. Read from the environment by the command line alone; reads nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Folders of toolchains: handed on to commands where what they name may be read.
PLACES = (
    "ASDF_DATA_DIR", "ASDF_DIR", "BUN_INSTALL", "CARGO_HOME", "CONDA_EXE", "CONDA_PREFIX", "COREPACK_HOME", "DENO_DIR",
    "DOTNET_ROOT", "FNM_DIR", "FNM_MULTISHELL_PATH", "GEM_HOME", "GEM_PATH", "GOENV_ROOT", "GOMODCACHE", "GOPATH",
    "GOROOT", "GRADLE_HOME", "JAVA_HOME", "JDK_HOME", "JENV_ROOT", "M2_HOME", "MAMBA_ROOT_PREFIX", "MAVEN_HOME",
    "MISE_DATA_DIR", "NODENV_ROOT", "NODE_PATH", "NVM_BIN", "NVM_DIR", "N_PREFIX", "PNPM_HOME", "PYENV_ROOT",
    "PYENV_VIRTUAL_ENV", "PYTHONUSERBASE", "RBENV_ROOT", "RUSTUP_HOME", "SDKMAN_CANDIDATES_DIR", "SDKMAN_DIR",
    "UV_PYTHON_INSTALL_DIR", "UV_TOOL_DIR", "VIRTUAL_ENV", "VOLTA_HOME", "WORKON_HOME", "YARN_GLOBAL_FOLDER",
)  # fmt: skip
# Names of versions, which tell shims what to run.
VERSIONS = (
    "ASDF_GOLANG_VERSION", "ASDF_JAVA_VERSION", "ASDF_NODEJS_VERSION", "ASDF_PYTHON_VERSION", "ASDF_RUBY_VERSION",
    "CONDA_DEFAULT_ENV", "GOENV_VERSION", "JENV_VERSION", "NODENV_VERSION", "PYENV_VERSION", "RBENV_VERSION",
    "RUSTUP_TOOLCHAIN",
)  # fmt: skip


@dataclass(frozen=True)
class UserEnvironment:
    """The user's shell: its PATH in order, the home directory, and of its variables those that toolchains need.

    `pythons` are interpreters that the user named, preferred to those of PATH; `own_python` is the one that runs this
    program, which stands in where no other can run a project's tests. `allow_read` and `allow_write` are folders
    that the user lets commands use besides.
    """

    home: Path = Path("/nonexistent")
    path: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    pythons: tuple[Path, ...] = ()
    own_python: Path | None = None
    allow_read: tuple[Path, ...] = ()
    allow_write: tuple[Path, ...] = ()

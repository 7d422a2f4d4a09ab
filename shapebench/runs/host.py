"""Records of the machine that serves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """The machine by OCI's metadata; nothing that names its owner."""

    shape: str
    region: str | None = None
    image: str | None = None
    availability_domain: str | None = None
    ocpus: float | None = None
    memory_gb: float | None = None
    gpus: int | None = None
    processor: str | None = None

    @property
    def sized_shape(self) -> str:
        """Return the catalogue's name: a flexible shape with its size, NAME:OCPUS:GB."""
        if not self.shape.endswith(".Flex") or self.ocpus is None or self.memory_gb is None:
            return self.shape
        return f"{self.shape}:{self.ocpus:g}:{self.memory_gb:g}"


@dataclass(frozen=True)
class Gpu:
    """One GPU by its driver; None where the driver does not know."""

    name: str | None
    driver_version: str | None
    memory_mib: int | None
    sm_clock_mhz: int | None
    sm_clock_max_mhz: int | None
    memory_clock_max_mhz: int | None
    power_limit_w: float | None
    ecc: str | None
    mig: str | None


@dataclass(frozen=True)
class Host:
    """The machine that serves, as far as it was asked; `unknown` lists what could not be found out."""

    instance: Instance | None = None
    gpus: tuple[Gpu, ...] = ()
    command: str | None = None  # of the process that listens, secrets redacted
    unknown: tuple[str, ...] = ()

"""What is known of the machine that serves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """What OCI's metadata says of the machine; nothing that names its owner."""

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
        """As the catalogue calls it: a flexible shape with its size, NAME:OCPUS:GB."""
        if not self.shape.endswith(".Flex") or self.ocpus is None or self.memory_gb is None:
            return self.shape
        return f"{self.shape}:{self.ocpus:g}:{self.memory_gb:g}"


@dataclass(frozen=True)
class Gpu:
    """What the driver says of one GPU; None where it does not know."""

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
    """What the machine that serves says of itself; nothing where nobody asked. `unknown` has what it did not say."""

    instance: Instance | None = None
    gpus: tuple[Gpu, ...] = ()
    command: str | None = None  # of the process that listens, secrets covered
    unknown: tuple[str, ...] = ()

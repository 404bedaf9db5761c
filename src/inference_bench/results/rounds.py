"""One round of one test out of a run: its records, and the manifest as if there were nothing else."""

import pyarrow as pa
import pyarrow.compute as pc

from inference_bench.results.manifest import Manifest


def of_round(batch: "pa.RecordBatch", test: str, round_no: int) -> "pa.RecordBatch":
    """Return the request records of a batch that belong to this round of this test."""
    of_test = pc.equal(batch.column("test").cast(pa.string()), pa.scalar(test))
    return batch.filter(pc.and_(of_test, pc.equal(batch.column("round"), pa.scalar(round_no, pa.int32()))))


def only_round(manifest: Manifest, test: str, round_no: int) -> Manifest:
    """Return the manifest with this test alone, its windows those of the round, its services those that were asked."""
    windows = {
        service: tuple(window for window in of_service if window.round == round_no)
        for service, of_service in manifest.windows.get(test, {}).items()
    }
    kept = {service: of_service for service, of_service in windows.items() if of_service}
    return manifest.model_copy(
        update={
            "plan": tuple(planned for planned in manifest.plan if planned.name == test),
            "windows": {test: kept},
            "services": tuple(facts for facts in manifest.services if facts.name in kept),
            "design": None,
            "resumed": None,
        }
    )

"""PLACEHOLDER until the results branch is merged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spaces import Policy


@dataclass(frozen=True, slots=True)
class Candidate:
    policy: Policy
    criterion: str = ""


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    lr: float
    epochs: int
    scratch: bool = False
    layer_epochs: int = 0
    sparsity: float = 0.0
    way: str = ""
    zeros: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    purpose: str
    candidate: Candidate
    spec: TrainingSpec
    seed: int
    flops: int
    training_flops: int
    seconds: float = field(default=0.0, compare=False)
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    nonzero: int = 0
    bytes: int = 0
    failure: str = ""
    reason: str = ""

    def to_json(self) -> str:
        import json
        from dataclasses import asdict

        from results.record import plain

        d = asdict(self)
        d["candidate"] = {
            "policy": dict(self.candidate.policy),
            "criterion": self.candidate.criterion,
        }
        return json.dumps(plain(d))

    @classmethod
    def from_json(cls, text: str):
        import json

        d = json.loads(text)
        c = d["candidate"]
        s = d["spec"] | {k: float(d["spec"][k]) for k in ("lr", "sparsity", "zeros")}
        return cls(
            **d
            | {
                "candidate": Candidate(Policy(c["policy"]), c["criterion"]),
                "spec": TrainingSpec(**s),
                "val_accuracy": float(d["val_accuracy"]),
                "test_accuracy": float(d["test_accuracy"]),
            }
        )

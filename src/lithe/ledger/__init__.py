"""The ledger: what was promised, what was measured, and the verdict that follows.

A *claim* (``book/claims/<paper>.yml``) says what a paper promises and how that is to be tested.
A *record* (``book/results/<paper>/<experiment>/<profile>/<seed>.json``) is one measurement, written
by :func:`record` alone. :func:`verdicts` puts the one to the other; no verdict is ever typed.
"""

from lithe.ledger.assessment import VERDICTS, Verdict, verdict, verdicts
from lithe.ledger.claim_files import claim, claims
from lithe.ledger.errors import LedgerError
from lithe.ledger.place import book_root
from lithe.ledger.provenance import code_state, meter
from lithe.ledger.records import Metric, Record, curves, find, is_current, read, record
from lithe.ledger.schema import Claim

__all__ = [
    "VERDICTS",
    "Claim",
    "LedgerError",
    "Metric",
    "Record",
    "Verdict",
    "book_root",
    "claim",
    "claims",
    "code_state",
    "curves",
    "find",
    "is_current",
    "meter",
    "read",
    "record",
    "verdict",
    "verdicts",
]

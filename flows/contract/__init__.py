"""Contract tests of one model: what is checked between data and model, and model and orchestrator.

`flows/steps/contract.py` runs them all; docs/adr/0014-contract-tests.md says what is checked where.
"""

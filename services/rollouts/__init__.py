"""Rollouts in a worker: who gets which side, what a failing candidate costs, what is counted of both."""

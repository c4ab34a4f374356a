"""Predictions on encrypted features: boosted trees and additive models that never see what they are asked."""

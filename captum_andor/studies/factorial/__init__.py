"""Crossed parts of networks: what share of what differs between networks does each part decide?"""

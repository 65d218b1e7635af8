//go:build !linux

package main

// noCore is for Linux.
func noCore() {}

package filestore

// lockState is the outcome of an attempt to lock a file.
type lockState uint8

const (
	// lockTaken: the lock is ours until the file is closed or the process ends.
	lockTaken lockState = iota
	// lockHeld: another open file has it.
	lockHeld
	// lockUnknown: the file system or the system has no such locks.
	lockUnknown
)

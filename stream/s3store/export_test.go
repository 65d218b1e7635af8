package s3store

// Held returns how many bytes the buffers of parts took at most, and how many they may.
func (s *Store) Held() (most, limit int64) {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	return s.memory.most, s.memory.limit
}

// PartSize returns the size of the parts of an object of about hint bytes.
func (s *Store) PartSize(hint int64) (int64, error) { return s.partSize(hint) }

// LimitParts makes n parts the most that an object may have.
func (s *Store) LimitParts(n int32) { s.maxParts = n }

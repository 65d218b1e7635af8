package stream

// Cut says how a table's rows are dealt out to buckets: by ranges of an integer key, or by a hash of the key, or, without
// one, of the whole row.
type Cut struct {
	// Of is how many buckets there are; a power of two.
	Of int
	// Lo is where the first range begins, and Width, in keys, how long each is; 0 for hashes.
	Lo    int64
	Width uint64
	// Only are the buckets that matter, in their order; nil for all of them.
	Only []int
}

// Sum is how many rows a bucket has, and what their hashes add up to, modulo 2^64.
type Sum struct {
	Rows   int64
	Hashes uint64
}

// Add adds the rows of o.
func (s *Sum) Add(o Sum) {
	s.Rows += o.Rows
	s.Hashes += o.Hashes
}

package pgsource

import "github.com/pgmove/pgmove/stream"

// Sizes tells what the tables that hold rows take on disk, after Entries, as the catalogs were read. It asks the server nothing.
func (s *Source) Sizes() []stream.DiskSize {
	var out []stream.DiskSize
	for _, r := range s.rels {
		if r.kind == 'r' {
			out = append(out, stream.DiskSize{Namespace: r.namespace, Name: r.name, Table: r.bytes, Indexes: r.indexes})
		}
	}
	return out
}

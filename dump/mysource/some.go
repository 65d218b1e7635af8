package mysource

import (
	"context"
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"github.com/pgmove/pgmove/stream"
)

// This is how a validation tells rows apart. It reads the rows of both sides: the servers of this engine have no hash
// that all of them share, of a form of rows that all of them print alike.

// Find returns the entry of a table by which its rows can be read here, nil where there is no such table.
func (s *Source) Find(t *stream.Table) *stream.Entry {
	if r := s.rels[string(t.Name)]; r == nil || r.kind != table {
		return nil
	}
	return &stream.Entry{Namespace: t.Namespace, Tag: t.Name, Table: t}
}

// Key returns the positions of the columns of a table's primary key, or else of a unique key without NULLs.
func (s *Source) Key(_ context.Context, e *stream.Entry) ([]int, error) {
	r := s.rels[string(e.Table.Name)]
	if r == nil {
		return nil, nil
	}
	var key []int
	for _, c := range r.key {
		at := slices.Index(e.Table.Columns, stream.Text(c.name))
		if at < 0 {
			return nil, nil
		}
		key = append(key, at)
	}
	return key, nil
}

// Show returns a field's value; bytes that are no text as hexadecimal digits.
func (s *Source) Show(_ *stream.Entry, _ string, _ int, field []byte) string {
	v := stream.UnescapeText(field)
	if !utf8.Valid(v) {
		return "0x" + hex.EncodeToString(v)
	}
	return string(v)
}

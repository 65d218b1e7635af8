package mysource

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// The ranges of an earlier process's chunks become SQL again, and that process may have left them where others
// write. So they are taken only as Split would write them between the bounds that they name.

// literal are the forms in which column.literal writes a value.
const literal = `(-?\d{1,65}(?:\.\d{1,65})?|'[-0-9 :.]{1,40}'|(?:_[a-z0-9]{1,32} )?X'[0-9a-f]*')`

// errRange says that a range is none of ours; it doesn't show it.
var errRange = errors.New("a chunk's range is not in a form that pgmove writes")

// CheckSplit returns an error unless the chunks are ranges such as Split makes, and together the whole table.
func (s *Source) CheckSplit(_ context.Context, e *stream.Entry, chunks []stream.Chunk) error {
	if len(chunks) == 1 && chunks[0].Range == "" {
		return nil
	}
	r := s.rels[string(e.Table.Name)]
	if r == nil || r.key == nil || len(chunks) < 2 {
		return errRange
	}
	// Integers are cut by the first column alone.
	for _, n := range []int{1, len(r.key)} {
		bounds, ok := boundsOf(r, n, chunks)
		if !ok {
			continue
		}
		for i, c := range ranges(r, bounds, 0) {
			if c.Range != chunks[i].Range {
				return errRange
			}
		}
		return nil
	}
	return errRange
}

// boundsOf reads where each chunk but the last ends, by n columns of the key.
func boundsOf(r *relation, n int, chunks []stream.Chunk) ([][]string, bool) {
	blanks := make([]string, n)
	for i := range blanks {
		blanks[i] = "\x00"
	}
	form := regexp.MustCompile(`(?:^| AND )` + strings.ReplaceAll(regexp.QuoteMeta(compare(r, blanks, "<", "<")), "\x00", literal) + `$`)
	var bounds [][]string
	for _, c := range chunks[:len(chunks)-1] {
		m := form.FindStringSubmatch(string(c.Range))
		if m == nil {
			return nil, false
		}
		bounds = append(bounds, m[len(m)-n:]) // those of the last alternative, which names all columns
	}
	return bounds, true
}

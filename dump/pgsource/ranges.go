package pgsource

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// The ranges of an earlier process's chunks become SQL again, and that process may have left them where
// others write. So a range is taken only in the forms in which Split writes it.
var (
	ctidRange = regexp.MustCompile(`^ctid >= '\((\d{1,10}),0\)'::pg_catalog\.tid(?: AND ctid < '\((\d{1,10}),0\)'::pg_catalog\.tid)?$`)
	keyRange  = regexp.MustCompile(`^(?:("(?:[^"]|"")+") >= '(-?\d{1,19})')?(?: AND )?(?:("(?:[^"]|"")+") < '(-?\d{1,19})')?$`)
	blobRange = regexp.MustCompile(`^m\.oid >= \d{1,10}(?: AND m\.oid <= \d{1,10})?$`)
)

// errRange says that a range is none of ours; it doesn't show it.
var errRange = errors.New("a chunk's range is not in a form that pgmove writes")

// CheckSplit returns an error unless the chunks are ranges such as Split makes, and together the whole table.
func (s *Source) CheckSplit(ctx context.Context, e *stream.Entry, chunks []stream.Chunk) error {
	if e.Table.LargeObjects {
		return s.checkBlobRanges(ctx, chunks)
	}
	r := s.rels[e.CatalogID[1]]
	if len(chunks) == 1 && chunks[0].Range == "" {
		return nil
	}
	if r == nil || r.filter != "" || len(chunks) == 0 {
		return errRange
	}
	bounds := keyBounds(pgsession.Ident(string(r.intKey)))
	if ctidRange.MatchString(string(chunks[0].Range)) {
		bounds = ctidBounds
	}
	last := ""
	for i, c := range chunks {
		from, to, ok := bounds(string(c.Range))
		switch {
		case !ok:
			return errRange
		case from != last, (to == "") != (i == len(chunks)-1):
			return fmt.Errorf("chunk %d of %d does not begin where the one before it ends", i+1, len(chunks))
		}
		last = to
	}
	return nil
}

// ctidBounds and keyBounds return a range's bounds, "" for an open one.
func ctidBounds(cond string) (from, to string, ok bool) {
	m := ctidRange.FindStringSubmatch(cond)
	if m == nil {
		return "", "", false
	}
	if from = m[1]; from == "0" {
		from = ""
	}
	return from, m[2], true
}

func keyBounds(key string) func(string) (string, string, bool) {
	return func(cond string) (from, to string, ok bool) {
		m := keyRange.FindStringSubmatch(cond)
		if m == nil || m[1] != "" && m[1] != key || m[3] != "" && m[3] != key || strings.Contains(cond, " AND ") != (m[1] != "" && m[3] != "") {
			return "", "", false
		}
		return m[2], m[4], true
	}
}

func (s *Source) checkBlobRanges(ctx context.Context, chunks []stream.Chunk) error {
	conds := make([]string, len(chunks))
	for i, c := range chunks {
		if !blobRange.MatchString(string(c.Range)) {
			return errRange
		}
		conds[i] = string(c.Range)
	}
	var left string
	err := s.with(ctx, func(w *worker) error {
		row, err := w.sess.Row(ctx, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata m WHERE NOT ("+strings.Join(conds, " OR ")+")")
		if err == nil {
			left = row[0]
		}
		return err
	})
	if err != nil {
		return pgsession.Explain(err, "large objects")
	}
	if left != "0" {
		return fmt.Errorf("%s large objects are in no chunk", left)
	}
	return nil
}

// checkFilter refuses a condition that comes from a file and isn't the one that this server's extension has for the table.
func (s *Source) checkFilter(e *stream.Entry) error {
	if !s.opts.OwnFilters || e.Table.Filter == "" {
		return nil
	}
	if r := s.rels[e.CatalogID[1]]; r != nil && r.filter == e.Table.Filter {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: e.Name(), Msg: "its rows were chosen by a condition that this server's extension does not have, and SQL from a file is not run"}).
		WithHint("compare with the source itself, by --source")
}

package validate

import (
	"context"
	"io"

	"github.com/pgmove/pgmove/stream"
)

// Keyed is the ability of a Target to tell a table's rows apart. Without it tables that differ are named, and their rows are not.
type Keyed interface {
	// Key returns which of the table's columns identify a row, as positions in Table.Columns; none for a table
	// without a key.
	Key(ctx context.Context, e *stream.Entry) ([]int, error)
	// Show returns for people to read what a column's field holds, as rows of the format have it.
	Show(e *stream.Entry, format string, column int, field []byte) string
}

// Narrower is the ability of a side to say which of a table's rows may differ without sending them, and to
// send some of them. Both sides of a comparison need it; where one hasn't, both are read.
type Narrower interface {
	// Hashing names how Sums hashes a row. Only sides of the same hashing compare; "" for none.
	Hashing() string
	// Bounds returns the least and the greatest key of a table whose key is one integer column; ok says that it is.
	Bounds(ctx context.Context, e *stream.Entry, key []int) (lo, hi int64, ok bool, err error)
	// Sums has the server hash a table's rows, and returns what they come to in each bucket of the cut that has any.
	Sums(ctx context.Context, e *stream.Entry, key []int, c stream.Cut) (map[int]stream.Sum, error)
	// CopySome writes the rows in the buckets of the cuts, of the whole table where there is no cut. With now it reads
	// them as they are, and not as the snapshot has them.
	CopySome(ctx context.Context, e *stream.Entry, key []int, format string, cuts []stream.Cut, now bool, w io.Writer) error
}

// Again gives the rows of an expected table once more: those that its digest is of, or what has become of them.
type Again interface {
	// Pieces returns the readers of the tables' rows; together they give each row once.
	Pieces(ctx context.Context, tables []stream.TableContents) ([]Piece, error)
}

// Piece reads some of the rows.
type Piece struct {
	// Chunk names the archive's chunk that they are in, "" where they come from a database.
	Chunk string
	Read  func(ctx context.Context, w io.Writer) error
}

// Living is the ability of an Again to be looked at more closely: it is a database.
type Living interface {
	// Side is the database as it is read; nil where its engine can't narrow.
	Side() Narrower
	// Find finds a table's entry there, nil where it is no more.
	Find(t *stream.Table) *stream.Entry
	// Exact says that it is read under the snapshot that the expected digests are of.
	Exact() bool
}

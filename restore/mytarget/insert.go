package mytarget

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Rows of another tool's archive may be INSERT statements. They are run as they stand, and what stands around them is not:
// but for the charset and the time zone in which they are written.

// A statement inserts values that are written out, into its own table, or is refused: nothing else may be changed by a dump, in
// no other database above all. Charsets in which a backslash is part of a character are none that are taken.

// maxStatement bounds one statement, in bytes: a row may have 1 GiB.
const maxStatement = 1<<30 + 1<<20

var (
	unset   = regexp.MustCompile(`(?is)^(?:/\*!\d+ )?SET +(?:SESSION +)?(?:FOREIGN_KEY_CHECKS|UNIQUE_CHECKS|SQL_MODE|system_versioning_insert_history) *=[^;]*$`)
	setOne  = regexp.MustCompile(`(?is)^(?:/\*!\d+ )?SET +(NAMES +(?:binary|utf8|utf8mb3|utf8mb4|latin1|ascii)|TIME_ZONE *= *'[-+:0-9]+') *(?:\*/)?$`)
	insert1 = regexp.MustCompile("(?is)^INSERT +(?:IGNORE +)?INTO +`((?:[^`]|``)+)`\\s*(?:\\((?:`(?:[^`]|``)*`|[\\s,])+\\)\\s*)?VALUES?\\b")
	comment = regexp.MustCompile(`(?is)^/\*M!(?:999999\\?-[^*]*|\d+ +SET\b[^;*]*)\*/$`)
)

// insert runs the statements, and returns how many rows the server took.
func insert(ctx context.Context, s *mysession.Session, e *stream.Entry, src io.Reader) (int64, error) {
	r := bufio.NewReaderSize(src, 256<<10)
	var total int64
	for {
		sql, err := nextStatement(r)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return 0, err
		}
		n, err := insertOne(ctx, s, e, sql)
		if err != nil {
			return 0, err
		}
		total += n
	}
}

func insertOne(ctx context.Context, s *mysession.Session, e *stream.Entry, sql string) (int64, error) {
	if m := setOne.FindStringSubmatch(sql); m != nil {
		return 0, s.Do(ctx, "SET "+m[1])
	}
	if sql == "" || unset.MatchString(sql) || comment.MatchString(sql) {
		return 0, nil
	}
	m := insert1.FindStringSubmatch(sql)
	if m == nil || strings.ReplaceAll(m[1], "``", "`") != string(e.Tag) || !plainValues(sql[len(m[0]):]) {
		return 0, stream.Fail(stream.Integrity, "%s: among its rows is a statement that inserts none: %.60s", e.Name(), stream.Text(sql).Display())
	}
	n, err := s.Exec(ctx, sql)
	if err != nil {
		return 0, err
	}
	row, err := s.Row(ctx, "SELECT @@warning_count")
	if err == nil && row[0] != "0" {
		err = warned(ctx, s, e)
	}
	return n, err
}

// nextStatement reads to the semicolon that ends a statement, and returns it without. io.EOF is the end between two.
func nextStatement(r *bufio.Reader) (string, error) {
	var b strings.Builder
	quote := byte(0)
	for {
		c, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			if strings.TrimSpace(b.String()) == "" {
				return "", io.EOF
			}
			return "", stream.Fail(stream.Integrity, "its rows end in the middle of a statement")
		}
		if err != nil {
			return "", err
		}
		switch {
		case quote == 0 && c == ';':
			return strings.TrimSpace(b.String()), nil
		case quote == 0 && (c == '\'' || c == '"' || c == '`'):
			quote = c
		case quote != 0 && c == '\\' && quote != '`':
			b.WriteByte(c)
			if c, err = r.ReadByte(); err != nil {
				return "", stream.Fail(stream.Integrity, "its rows end in the middle of a statement").Because(err)
			}
		case c == quote:
			quote = 0 // a doubled one opens again at once
		}
		if b.WriteByte(c); b.Len() > maxStatement {
			return "", stream.Fail(stream.Integrity, "a statement among its rows is longer than %d bytes", maxStatement)
		}
	}
}

package mysession

import (
	"context"
	"database/sql/driver"
	"io"
	"strconv"
)

// each runs a query and calls f for each of its rows; the values are those of that call alone.
func (s *Session) each(ctx context.Context, sql string, f func(names []string, values []driver.Value)) error {
	rows, err := s.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // its error is Next's
	names := rows.Columns()
	values := make([]driver.Value, len(names))
	for {
		switch err := rows.Next(values); {
		case err == io.EOF:
			return nil
		case err != nil:
			return s.cause(ctx, err)
		}
		f(names, values)
	}
}

// Rows runs a query and returns all its rows as text; NULL comes as "".
func (s *Session) Rows(ctx context.Context, sql string) (out [][]string, err error) {
	err = s.each(ctx, sql, func(_ []string, values []driver.Value) {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(AppendValue(nil, v))
		}
		out = append(out, row)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Row runs a query and returns its first row; having none is an error.
func (s *Session) Row(ctx context.Context, sql string) ([]string, error) {
	rows, err := s.Rows(ctx, sql)
	if err == nil && len(rows) == 0 {
		err = errNoRow
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// Table is what a query returned, its rows by column name: SHOW's columns differ between servers.
type Table []map[string]string

// Named runs a query and returns its rows by column name; NULL comes as a missing name.
func (s *Session) Named(ctx context.Context, sql string) (out Table, err error) {
	err = s.each(ctx, sql, func(names []string, values []driver.Value) {
		row := make(map[string]string, len(names))
		for i, v := range values {
			if v != nil {
				row[names[i]] = string(AppendValue(nil, v))
			}
		}
		out = append(out, row)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AppendValue appends a value as the driver hands it out: bytes as they are, numbers as text from which the
// server reads the same number. NULL appends nothing.
func AppendValue(b []byte, v driver.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return append(b, v...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case float32:
		return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	case string:
		return append(b, v...)
	}
	return b
}

package mysession

import (
	"context"
	"strings"
)

// Place tells where the server runs, and so tells it from its copies: the identifier of its files, its host, port and folder. "" is for
// one that doesn't tell.
func (s *Session) Place(ctx context.Context) (string, error) {
	row, err := s.Row(ctx, "SELECT @@hostname, @@port, @@datadir")
	if Code(err) == ErrUnknownSystem || Denied(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id, err := s.SystemID(ctx)
	return strings.Join(append(row, id), " "), err
}

// SystemID is the identifier that the server gave itself when its files were made; "" where it has none.
func (s *Session) SystemID(ctx context.Context) (string, error) {
	id := "@@server_uuid"
	if s.Version.MariaDB {
		id = "@@server_uid"
	}
	row, err := s.Row(ctx, "SELECT "+id)
	if Code(err) == ErrUnknownSystem {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return row[0], nil
}

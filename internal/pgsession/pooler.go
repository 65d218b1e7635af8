package pgsession

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/stream"
)

// ErrPooler is what Connect returns (wrapped) where a pooler hands each transaction to another server process.
var ErrPooler = errors.New("its connections share server processes")

// poolerTurns is how often two connections are asked in turn for the server process that serves them.
const poolerTurns = 4

// checkPooler refuses a pooler in transaction mode: settings, locks and snapshots belong to a server process, and the next transaction
// may be another one's. It comes before the session is pinned, as the settings would be left to the pooler's other clients.
//
// pid is the server process that answered; a server announces its own when a connection begins, a pooler any number. Two connections
// are then open at once: what serves both, or changes, is shared.
func checkPooler(ctx context.Context, pc *pgconn.PgConn, pid string, cfg *pgconn.Config, name string) error {
	if pid == strconv.FormatUint(uint64(pc.PID()), 10) {
		return nil
	}
	cfg = cfg.Copy()
	cfg.AfterNetConnect = nil // that is the first one's
	second, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = second.Close(context.WithoutCancel(ctx)) }()
	a, b := Session{PgConn: pc}, Session{PgConn: second}
	for range poolerTurns {
		other, err := b.backend(ctx)
		if err != nil {
			return err
		}
		own, err := a.backend(ctx)
		if err != nil {
			return err
		}
		if other == pid || own != pid {
			return (&stream.Failure{Kind: stream.Preflight, Object: name, Err: ErrPooler,
				Msg: "a transaction-mode pooler (PgBouncer, RDS Proxy) is between pgmove and the server"}).
				WithHint("name the server itself, or a pool in session mode: snapshots, locks and settings belong to one server process")
		}
	}
	return nil
}

func (s *Session) backend(ctx context.Context) (string, error) {
	row, err := s.Row(ctx, "SELECT pg_catalog.pg_backend_pid()")
	if err != nil {
		return "", err
	}
	return row[0], nil
}

package mytarget

import (
	"context"
	"maps"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// checkNamed refuses definers that MySQL lets the account name by no privilege that it has. Beyond the one to name others there is one for
// those that are no accounts there, from 8.2 on, and one for accounts that have SYSTEM_USER. Programs are made last: without a look
// before, it would be found out after all rows.
func (t *Target) checkNamed(ctx context.Context, a *asked) error {
	v := t.control.Version
	if v.MariaDB || v.Num < 8000016 || len(a.definers) == 0 {
		return nil
	}
	invents := v.Num < 8020000 || a.Everywhere("SUPER", "ALLOW_NONEXISTENT_DEFINER")
	rows, err := t.control.Rows(ctx, "SELECT User, Host FROM mysql.user")
	if mysession.Denied(err) {
		if !invents {
			return t.noSuchDefiners(a.definers, "and it may not see which of them the server has")
		}
		return t.checkPowerful(ctx, a)
	}
	if err != nil {
		return err
	}
	gone := maps.Clone(a.definers)
	for _, r := range rows {
		delete(gone, mysession.Ident(r[0])+"@"+mysession.Ident(r[1]))
	}
	if len(gone) > 0 && !invents {
		return t.noSuchDefiners(gone, "which the server doesn't have")
	}
	return t.checkPowerful(ctx, a)
}

func (t *Target) noSuchDefiners(definers map[string]bool, why string) error {
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
		Msg: "the account " + stream.Text(t.conn.User()).Display() + " may make nothing that runs as an account that isn't there; definers are " + list(definers) + ", " + why}).
		WithHint("grant it ALLOW_NONEXISTENT_DEFINER, create them there and grant it SELECT on mysql.user, or give --definer strip or --definer USER@HOST")
}

// checkPowerful refuses definers that have SYSTEM_USER on the target where the account has not.
func (t *Target) checkPowerful(ctx context.Context, a *asked) error {
	if a.Everywhere("SYSTEM_USER") {
		return nil
	}
	rows, err := t.control.Rows(ctx, "SELECT USER, HOST FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER'")
	if mysession.Denied(err) {
		t.warn("the server refuses those of these definers that have SYSTEM_USER there, which this account may not see: %s", list(a.definers))
		return nil
	}
	if err != nil {
		return err
	}
	powerful := map[string]bool{}
	for _, r := range rows {
		if name := mysession.Ident(r[0]) + "@" + mysession.Ident(r[1]); a.definers[name] {
			powerful[name] = true
		}
	}
	if len(powerful) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
		Msg: "the account " + stream.Text(t.conn.User()).Display() + " may make nothing that runs as one with SYSTEM_USER, which these definers have: " + list(powerful)}).
		WithHint("grant it SYSTEM_USER, or give --definer strip or --definer USER@HOST")
}

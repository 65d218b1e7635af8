package floor

import "testing"

func TestParseAndPlace(t *testing.T) {
	post := parse(`--
-- PostgreSQL database dump
--

\restrict abc
SET statement_timeout = 0;

--
-- Name: a a_pkey; Type: CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.a
    ADD CONSTRAINT a_pkey PRIMARY KEY (id);


--
-- Name: a_words; Type: INDEX; Schema: public; Owner: me
--

CREATE INDEX a_words ON public.a USING gin (words);


--
-- Name: b b_a_fkey; Type: FK CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.b
    ADD CONSTRAINT b_a_fkey FOREIGN KEY (a) REFERENCES public.a(id);


\unrestrict abc
`)
	p := &Plan{Tables: []*Table{{Name: "public.a"}, {Name: "public.b"}}}
	if err := p.place(post); err != nil {
		t.Fatal(err)
	}
	ix := p.Tables[0].Indexes
	if len(ix) != 2 {
		t.Fatalf("%+v", ix)
	}
	if ix[0].Build != "CREATE UNIQUE INDEX a_pkey ON public.a (id);" ||
		ix[0].Attach != "ALTER TABLE ONLY public.a ADD CONSTRAINT a_pkey PRIMARY KEY USING INDEX a_pkey;" {
		t.Errorf("%+v", ix[0])
	}
	if !ix[1].Heavy || ix[1].Attach != "" {
		t.Errorf("%+v", ix[1])
	}
	if len(p.Keys) != 1 || p.Keys[0].Table != "public.b" || p.Keys[0].Refers != "public.a" {
		t.Errorf("%+v", p.Keys)
	}
	if len(p.Last) != 0 {
		t.Errorf("%q", p.Last)
	}
}

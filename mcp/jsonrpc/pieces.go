package jsonrpc

// Pieces returns what Append would write, as consecutive pieces of which the long ones alias o and the edits: a result of
// a megabyte with one member less costs no copy. The pieces must not be changed.
func (o Object) Pieces(edits ...Edit) [][]byte {
	if len(edits) == 0 && o.raw != nil {
		return [][]byte{o.raw}
	}
	p := pieces{o: o, edits: edits, out: make([][]byte, 0, 2*len(edits)+3)}
	p.kept()
	p.added()
	if p.rest < len(o.raw) {
		return append(p.out, o.raw[p.rest:])
	}
	return append(p.out, []byte{'}'})
}

// pieces is an Object being cut up.
type pieces struct {
	o     Object
	edits []Edit
	out   [][]byte
	count int // members written
	from  int // offset in o.raw from which nothing was written yet
	rest  int // offset in o.raw after the last member seen
}

// kept writes the members that the object has, in ranges as long as possible.
func (p *pieces) kept() {
	raw := p.o.raw
	p.rest = 1
	if raw == nil {
		p.out = append(p.out, []byte{'{'})
	}
	for i, m := range p.o.members {
		begin, name, value := memberAt(raw, p.rest)
		before := p.rest
		p.rest = value + len(m.Value)
		e, edited := lastEdit(p.edits, m.Name)
		switch {
		case edited && len(e.Value) == 0:
			p.flush(before)
			p.from = p.rest
			continue
		case p.count == 0 && i > 0:
			p.flush(1) // the brace; the comma before this member belonged to one that is gone
			p.from = name
		case p.from == before && i > 0:
			p.from = begin
		}
		p.count++
		if edited {
			p.flush(value)
			p.out = append(p.out, e.Value)
			p.from = p.rest
		}
	}
	p.flush(p.rest)
}

// flush writes what was passed over up to end.
func (p *pieces) flush(end int) {
	if p.from < end && end <= len(p.o.raw) {
		p.out = append(p.out, p.o.raw[p.from:end])
		p.from = end
	}
}

// added writes the members that the object does not have.
func (p *pieces) added() {
	for i, e := range p.edits {
		if len(e.Value) == 0 || p.o.Get(e.Name) != nil || again(p.edits[i+1:], e.Name) {
			continue
		}
		var head []byte
		if p.count > 0 {
			head = append(head, ',')
		}
		p.out = append(p.out, append(AppendString(head, e.Name), ':'), e.Value)
		p.count++
	}
}

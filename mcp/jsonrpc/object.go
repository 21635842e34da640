package jsonrpc

// Member is one member of an object. Name is unescaped; Value is JSON text that aliases the input.
type Member struct {
	Name  string
	Value []byte
}

// Object is a JSON object that has been checked: its text, and where its members are. It aliases the bytes that it was
// read from, so these must not change while it is in use. The zero Object is absent, which is not the same as `{}`.
type Object struct {
	raw     []byte
	members []Member
}

// Written returns the object whose text this program has just written and of which it knows the members, all of them, in their
// order, with values that alias raw: a large one need not be looked through once more. What does not agree makes nonsense.
func Written(raw []byte, members []Member) Object { return Object{raw: raw, members: members} }

// Edit replaces or adds the member Name, or removes it when Value is nil or empty. Value must be valid JSON text. Of two
// edits of one name the later wins.
type Edit struct {
	Name  string
	Value []byte
}

// IsZero reports whether the object is absent.
func (o Object) IsZero() bool { return o.raw == nil }

// Raw returns the object's text, nil when it is absent. Valid JSON has line ends only between tokens, so a channel that
// frames by lines may put spaces in their place.
func (o Object) Raw() []byte { return o.raw }

// Members returns the members in the order of the text. The slice is the object's own: callers must not change it.
func (o Object) Members() []Member { return o.members }

// Get returns the text of the member's value, nil when there is no such member.
func (o Object) Get(name string) []byte {
	for i := range o.members {
		if o.members[i].Name == name {
			return o.members[i].Value
		}
	}
	return nil
}

// String returns the member's value as a string; it is false when the member is absent or Unquote refuses it.
func (o Object) String(name string) (string, bool) { return Unquote(o.Get(name)) }

// With returns the object with edits applied, in memory of its own. Without an edit that changes something it returns o,
// so an absent object from which members are removed stays absent.
func (o Object) With(edits ...Edit) Object {
	if !o.changedBy(edits) {
		return o
	}
	size := len(o.raw) + len("{}")
	for _, e := range edits {
		size += 2*len(e.Name) + len(e.Value) + len(`,"":`)
	}
	w := editor{
		dst:     make([]byte, 0, size),
		members: make([]Member, 0, len(o.members)+len(edits)),
		ends:    make([]int, 0, len(o.members)+len(edits)),
	}
	w.write(o, edits)
	for i, end := range w.ends {
		m := &w.members[i]
		m.Value = w.dst[end-len(m.Value) : end : end]
	}
	return Object{raw: w.dst, members: w.members}
}

func (o Object) changedBy(edits []Edit) bool {
	for _, e := range edits {
		if len(e.Value) > 0 || o.Get(e.Name) != nil {
			return true
		}
	}
	return false
}

// Append appends the object's text with edits applied to dst. Members keep their order and every byte that no edit touches,
// white space included; what is added stands at the end. An absent object is written as one that has the added members only.
func (o Object) Append(dst []byte, edits ...Edit) []byte {
	if len(edits) == 0 && o.raw != nil {
		return append(dst, o.raw...)
	}
	w := editor{dst: dst}
	w.write(o, edits)
	return w.dst
}

// editor writes an edited object. When ends is not nil, it also records the members it writes and where their values end.
type editor struct {
	dst     []byte
	members []Member
	ends    []int
	count   int // members written
}

func (w *editor) write(o Object, edits []Edit) {
	w.dst = append(w.dst, '{')
	rest := 1 // offset in o.raw after the last member seen
	for i, m := range o.members {
		begin, name, value := memberAt(o.raw, rest)
		rest = value + len(m.Value)
		e, edited := lastEdit(edits, m.Name)
		if edited && len(e.Value) == 0 {
			continue
		}
		if w.count == 0 && i > 0 {
			begin = name // the comma before it belonged to a member that is gone
		}
		w.dst = append(w.dst, o.raw[begin:value]...)
		if edited {
			m.Value = e.Value
		}
		w.put(m)
	}
	for i, e := range edits {
		if len(e.Value) == 0 || o.Get(e.Name) != nil || again(edits[i+1:], e.Name) {
			continue
		}
		if w.count > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(AppendString(w.dst, e.Name), ':')
		w.put(Member(e))
	}
	if rest < len(o.raw) {
		w.dst = append(w.dst, o.raw[rest:]...)
		return
	}
	w.dst = append(w.dst, '}')
}

// put writes the value of m, whose name has been written.
func (w *editor) put(m Member) {
	w.count++
	w.dst = append(w.dst, m.Value...)
	if w.ends != nil {
		w.members = append(w.members, m)
		w.ends = append(w.ends, len(w.dst))
	}
}

// memberAt returns where the text of the member that follows offset i begins (its comma, if it has one), where its name
// begins and where its value does. raw has been checked, so a name and a value are there.
func memberAt(raw []byte, i int) (begin, name, value int) {
	begin = i
	name = skipSpace(raw, i)
	if raw[name] == ',' {
		name = skipSpace(raw, name+1)
	}
	colon := skipSpace(raw, skipString(raw, name+1))
	return begin, name, skipSpace(raw, colon+1)
}

func lastEdit(edits []Edit, name string) (Edit, bool) {
	for i := len(edits) - 1; i >= 0; i-- {
		if edits[i].Name == name {
			return edits[i], true
		}
	}
	return Edit{}, false
}

func again(edits []Edit, name string) bool {
	_, found := lastEdit(edits, name)
	return found
}

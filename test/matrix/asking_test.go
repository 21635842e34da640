package matrix

import "encoding/json"

func jsonNumber(text string) json.Number { return json.Number(text) }

// formQuestion asks for a form to be filled in.
func (s *script) formQuestion() question {
	params := obj{
		"message": "who are you? " + oddText, "x-acme": grease(),
		"requestedSchema": obj{"type": "object", "properties": obj{"name": obj{"type": "string", "minLength": 1}, "age": obj{"type": "integer", "maximum": bigNumber}}, "required": list{"name"}},
	}
	if s.rev >= rev2511 {
		params["mode"] = "form"
	}
	return question{"elicitation/create", params}
}

func (s *script) urlQuestion(key string) question {
	params := obj{"mode": "url", "message": "open this", "url": "https://example.org/open?" + key, "x-acme": grease()}
	if s.rev == rev2511 {
		params["elicitationId"] = "elicitation " + key
	}
	return question{"elicitation/create", params}
}

func (s *script) sampleQuestion() question {
	return question{"sampling/createMessage", obj{
		"messages":  list{obj{"role": "user", "content": obj{"type": "text", "text": "what is it?", "x-acme": grease()}}},
		"maxTokens": 100, "temperature": oneAndZero, "x-acme": grease(),
		"modelPreferences": obj{"hints": list{obj{"name": "some"}}, "costPriority": json.Number("0.10")},
	}}
}

// toolSampleQuestion lets the model call tools, which 2025-11-25 begins with.
func (s *script) toolSampleQuestion() question {
	q := s.sampleQuestion()
	q.params["tools"] = list{obj{"name": "add", "inputSchema": obj{"type": "object", "x-acme": grease()}, "x-acme": bigNumber}}
	q.params["toolChoice"] = obj{"mode": "auto"}
	return q
}

func rootsQuestion() question { return question{"roots/list", obj{"x-acme": grease()}} }

// lacks says which capability of the client a question needs and is not there.
func lacks(caps obj, q question) string {
	switch q.method {
	case "elicitation/create":
		e := objectAt(caps, "elicitation")
		if q.params["mode"] == "url" {
			if objectAt(e, "url") == nil {
				return "elicitation.url"
			}
			return ""
		}
		if e == nil || objectAt(e, "form") == nil && objectAt(e, "url") != nil {
			return "elicitation.form"
		}
	case "sampling/createMessage":
		if objectAt(caps, "sampling") == nil {
			return "sampling"
		}
		if q.params["tools"] != nil && at(caps, "sampling", "tools") == nil {
			return "sampling.tools"
		}
	case "roots/list":
		if objectAt(caps, "roots") == nil {
			return "roots"
		}
	}
	return ""
}

// question runs a tool that asks its client something.
func (s *script) question(c *invocation, name string) (obj, *failure) {
	k := textAt(c.params, "arguments", "key")
	careless := at(c.params, "arguments", "careless") == true
	rounds := map[string][][]question{
		"ask_form": {{s.formQuestion()}}, "ask_url": {{s.urlQuestion(k)}}, "sample": {{s.sampleQuestion()}},
		"sample_tools": {{s.toolSampleQuestion()}}, "roots": {{rootsQuestion()}}, "both": {{s.sampleQuestion(), rootsQuestion()}},
		"multi": {{rootsQuestion()}, {s.sampleQuestion()}},
	}[name]
	switch {
	case name == "multi" && s.rev >= rev2506:
		rounds[0] = []question{s.formQuestion()}
	case name == "ask_url_first":
		return s.urlFirst(c, k)
	}
	var answers list
	for _, questions := range rounds {
		for _, q := range questions {
			if missing := lacks(c.caps, q); missing != "" && !careless {
				return s.incapable(missing)
			}
		}
		got, err := c.ask(questions...)
		if err != nil {
			if s.rev == revModern {
				return nil, err
			}
			return refused("the client answered with %s", err), nil
		}
		for _, a := range got {
			answers = append(answers, a)
		}
	}
	return said(string(encode(answers))), nil
}

// incapable is how a server of the revision says that its client cannot do what
// it needs.
func (s *script) incapable(missing string) (obj, *failure) {
	if s.rev < revModern {
		return refused("the client does not support %s", missing), nil
	}
	needed := map[string]obj{
		"elicitation.url": {"elicitation": obj{"url": obj{}}}, "elicitation.form": {"elicitation": obj{"form": obj{}}},
		"sampling": {"sampling": obj{}}, "sampling.tools": {"sampling": obj{"tools": obj{}}}, "roots": {"roots": obj{}},
	}[missing]
	return nil, &failure{Code: -32021, Message: "Missing required client capability", Data: obj{"requiredCapabilities": needed}}
}

// urlFirst wants a URL to be opened before it can be called: by an error in
// 2025-11-25, by a question in 2026-07-28.
func (s *script) urlFirst(c *invocation, k string) (obj, *failure) {
	q := s.urlQuestion(k)
	if s.rev == revModern {
		if missing := lacks(c.caps, q); missing != "" {
			return s.incapable(missing)
		}
		if _, err := c.ask(q); err != nil {
			return nil, err
		}
		return said("opened"), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened[k] {
		return said("opened"), nil
	}
	s.opened[k] = true
	return nil, &failure{Code: -32042, Message: "This needs a URL to be opened", Data: obj{"elicitations": list{q.params}}}
}

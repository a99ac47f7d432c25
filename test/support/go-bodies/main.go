// Reads JSON and SOAP bodies as backends in Go would: encoding/json into a map and into a structure, which takes names in any
// case, and encoding/xml. Lines in and out are those of body-readers.py.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"strings"
)

type task struct {
	Format string   `json:"format"`
	Body   string   `json:"body"`
	Places []string `json:"places"`
}

type findings map[string][]*string

type volume struct {
	ID   interface{} `json:"id"`
	Ids  interface{} `json:"ids"`
	Kind interface{} `json:"kind"`
}

type structure struct {
	Volume *volume     `json:"volume"`
	Kind   interface{} `json:"kind"`
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked task
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		body, err := base64.StdEncoding.DecodeString(asked.Body)
		if err != nil {
			panic(err)
		}
		said := map[string]interface{}{}
		if asked.Format == "json" {
			said["Go, a map"] = orFalse(readMap(body, asked.Places))
			said["Go, a structure"] = orFalse(readStructure(body, asked.Places))
		} else {
			said["Go, XML"] = orFalse(readSoap(body, asked.Places))
		}
		written, err := json.Marshal(said)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(output, "%s\n", written)
		output.Flush()
	}
}

func orFalse(found findings, err error) interface{} {
	if err != nil {
		return false
	}
	return found
}

func decode(body []byte, into interface{}) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("something follows")
	}
	return nil
}

func readMap(body []byte, places []string) (findings, error) {
	var value interface{}
	if err := decode(body, &value); err != nil {
		return nil, err
	}
	found := findings{}
	for _, place := range places {
		found[place] = texts(at(value, strings.Split(place, "/")[1:]))
	}
	return found, nil
}

func readStructure(body []byte, places []string) (findings, error) {
	var value structure
	if err := decode(body, &value); err != nil {
		return nil, err
	}
	rebuilt := map[string]interface{}{"kind": value.Kind}
	if value.Volume != nil {
		rebuilt["volume"] = map[string]interface{}{"id": value.Volume.ID, "ids": value.Volume.Ids, "kind": value.Volume.Kind}
	}
	found := findings{}
	for _, place := range places {
		found[place] = texts(at(rebuilt, strings.Split(place, "/")[1:]))
	}
	return found, nil
}

func at(value interface{}, steps []string) []interface{} {
	if len(steps) == 0 {
		if value == nil {
			return nil
		}
		return []interface{}{value}
	}
	switch typed := value.(type) {
	case map[string]interface{}:
		if member, has := typed[steps[0]]; has {
			return at(member, steps[1:])
		}
	case []interface{}:
		if steps[0] == "*" {
			var all []interface{}
			for _, item := range typed {
				all = append(all, at(item, steps[1:])...)
			}
			return all
		}
	}
	return nil
}

func texts(values []interface{}) []*string {
	found := []*string{}
	for _, value := range values {
		var text string
		switch typed := value.(type) {
		case string:
			text = typed
		case json.Number:
			text = typed.String()
		case bool:
			text = fmt.Sprint(typed)
		default:
			found = append(found, nil)
			continue
		}
		found = append(found, &text)
	}
	return found
}

type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
	Text     string     `xml:",chardata"`
}

func readSoap(body []byte, places []string) (findings, error) {
	var root node
	decoder := xml.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&root); err != nil {
		return nil, err
	}
	for _, part := range root.Children {
		if part.XMLName.Local != "Body" {
			continue
		}
		if len(part.Children) != 1 {
			return nil, fmt.Errorf("there is not one method")
		}
		method := part.Children[0]
		found := findings{"method": {&method.XMLName.Local}, "namespace": {&method.XMLName.Space}}
		for _, place := range places {
			found[place] = inXML(method, place)
		}
		return found, nil
	}
	return nil, fmt.Errorf("there is no body")
}

func inXML(method node, place string) []*string {
	names, attribute := place, ""
	if cut := strings.IndexByte(place, '@'); cut >= 0 {
		names, attribute = place[:cut], place[cut+1:]
	}
	here := []node{method}
	for _, name := range strings.Split(names, "/") {
		var next []node
		for _, one := range here {
			for _, child := range one.Children {
				if child.XMLName.Local == name && child.XMLName.Space == method.XMLName.Space {
					next = append(next, child)
				}
			}
		}
		here = next
	}
	found := []*string{}
	for index := range here {
		if attribute == "" {
			if len(here[index].Children) > 0 {
				found = append(found, nil)
			} else {
				found = append(found, &here[index].Text)
			}
			continue
		}
		for which := range here[index].Attrs {
			attr := &here[index].Attrs[which]
			if attr.Name.Local == attribute && attr.Name.Space == "" {
				found = append(found, &attr.Value)
			}
		}
	}
	return found
}

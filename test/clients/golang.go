package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmediapipelines"
	"github.com/aws/aws-sdk-go-v2/service/chimesdkmeetings"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// goClient is the AWS SDK for Go v2.
type goClient struct {
	mu   sync.Mutex
	made map[Setup]goClients
}

type goClients struct {
	meetings  *chimesdkmeetings.Client
	pipelines *chimesdkmediapipelines.Client
	ivs       *ivs.Client
}

// NewGo returns the AWS SDK for Go v2.
func NewGo() Client { return &goClient{made: map[Setup]goClients{}} }

func (*goClient) Name() string { return "Go" }

func (g *goClient) with(s Setup) goClients {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := g.made[s]; ok && !s.Fresh {
		return c
	}
	cfg := aws.Config{
		Region: s.Region, BaseEndpoint: aws.String(s.Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.Secret, s.SessionToken),
	}
	c := goClients{chimesdkmeetings.NewFromConfig(cfg), chimesdkmediapipelines.NewFromConfig(cfg), ivs.NewFromConfig(cfg)}
	if !s.Fresh {
		g.made[s] = c
	}
	return c
}

func (g *goClient) Call(ctx context.Context, s Setup, r Request) (Answer, error) {
	c := g.with(s)
	client, lower := map[string]any{Meetings: c.meetings, Pipelines: c.pipelines, IVS: c.ivs}[r.Service], r.Service == IVS
	method := reflect.ValueOf(client).MethodByName(r.Operation)
	if !method.IsValid() {
		return Answer{}, ErrUnknown
	}
	input := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(r.Input)
	if err != nil {
		return Answer{}, err
	}
	// The fields are called like the members, but for the case of letters.
	members := json.NewDecoder(bytes.NewReader(text))
	members.DisallowUnknownFields()
	if err := members.Decode(input.Interface()); err != nil {
		return Answer{}, fmt.Errorf("the input of %s: %w", r.Operation, err)
	}
	var a Answer
	if r.PageSize > 0 {
		for page := range pagesOf(ctx, c, input.Interface(), r.PageSize) {
			if page.err != nil {
				return failed(page.err)
			}
			one, err := answered(page.output, lower)
			if err != nil {
				return Answer{}, err
			}
			a.Pages = append(a.Pages, one.Output)
			a.Status, a.RequestID = one.Status, one.RequestID
		}
		if a.Pages == nil {
			return Answer{}, fmt.Errorf("the client has no paginator for %s", r.Operation)
		}
		return a, nil
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	if err, _ := out[1].Interface().(error); err != nil {
		return failed(err)
	}
	return answered(out[0].Interface(), lower)
}

// answered reads a success.
func answered(output any, lower bool) (Answer, error) {
	v := reflect.ValueOf(output).Elem()
	meta := v.FieldByName("ResultMetadata").Interface().(middleware.Metadata)
	a := Answer{}
	if res, ok := awsmiddleware.GetRawResponse(meta).(*smithyhttp.Response); ok {
		a.Status = res.StatusCode
	}
	a.RequestID, _ = awsmiddleware.GetRequestIDMetadata(meta)
	text, err := json.Marshal(plain(v, lower))
	if err != nil {
		return Answer{}, err
	}
	return a, json.Unmarshal(text, &a.Output)
}

// plain turns a client's structs into maps with the names of the model.
func plain(v reflect.Value, lower bool) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem(), lower)
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		list := []any{}
		for _, item := range v.Seq2() {
			list = append(list, plain(item, lower))
		}
		return list
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			return v.Interface()
		}
		members := map[string]any{}
		for f, field := range v.Fields() {
			if !f.IsExported() || f.Name == "ResultMetadata" {
				continue
			}
			name := f.Name
			if lower {
				name = strings.ToLower(name[:1]) + name[1:]
			}
			if member := plain(field, lower); member != nil {
				members[name] = member
			}
		}
		return members
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
	}
	return v.Interface()
}

// failed reads an error.
func failed(err error) (Answer, error) {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return Answer{}, err
	}
	_, generic := errors.AsType[*smithy.GenericAPIError](err)
	a := Answer{Error: &Error{Type: api.ErrorCode(), Modelled: !generic, Message: api.ErrorMessage()}}
	a.Error.Text = a.Error.Message
	if v := reflect.Indirect(reflect.ValueOf(api)); v.Kind() == reflect.Struct {
		if f := v.FieldByName("ExceptionMessage"); f.IsValid() && !f.IsNil() {
			a.Error.Text = f.Elem().String()
		}
	}
	if res, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		a.Status, a.RequestID = res.HTTPStatusCode(), res.ServiceRequestID()
	}
	return a, nil
}

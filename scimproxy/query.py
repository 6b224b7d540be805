"""stub"""
from scimproxy.exchange import Exchange
class Query: ...
def searchable_text(exchange: Exchange) -> str:
    from scimproxy.decode import text
    parts=[exchange.request.target]
    for m in (exchange.request, exchange.response):
        if m is None: continue
        parts += [f"{n}: {v}" for n,v in m.headers]
        parts.append((text(m.content, m.headers, limit=8192) or "")[:8192])
    return "\n".join(parts).casefold().replace("\0"," ")

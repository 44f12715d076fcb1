"""Text: tokenizers, vocabularies, data sets, batches.

Tokenizers need the `tokenizers` library: pip install 'gpugrad[text]'. Nothing else here does.
"""

from gpugrad.text.bucketing import BucketBatchSampler
from gpugrad.text.corpora import WikiText2, documents, tiny_shakespeare
from gpugrad.text.datasets import IMDB, SST2, TableDataset, TextDataset
from gpugrad.text.encoding import BatchEncoding
from gpugrad.text.families import AutoTokenizer, BertTokenizer, GPT2Tokenizer
from gpugrad.text.lines import Lines, read_lines, read_text
from gpugrad.text.masking import (
    DataCollatorForLanguageModeling,
    PretrainingCollate,
    SegmentPairs,
    mask_tokens,
)
from gpugrad.text.normal import WordFilter
from gpugrad.text.padding import DataCollatorWithPadding, PadCollate, pad_ids
from gpugrad.text.streaming import PackedBlocks, TokenStore, encode_stream
from gpugrad.text.tables import read_table
from gpugrad.text.tokenizer import Tokenizer
from gpugrad.text.training import train_tokenizer
from gpugrad.text.vocabulary import Vocabulary, build_vocab_from_iterator, get_tokenizer

BertTokenizerFast = BertTokenizer
GPT2TokenizerFast = GPT2Tokenizer
PreTrainedTokenizerFast = Tokenizer

__all__ = [
    "IMDB",
    "SST2",
    "AutoTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "BucketBatchSampler",
    "DataCollatorForLanguageModeling",
    "DataCollatorWithPadding",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "Lines",
    "PackedBlocks",
    "PadCollate",
    "PreTrainedTokenizerFast",
    "PretrainingCollate",
    "SegmentPairs",
    "TableDataset",
    "TextDataset",
    "TokenStore",
    "Tokenizer",
    "Vocabulary",
    "WikiText2",
    "WordFilter",
    "build_vocab_from_iterator",
    "documents",
    "encode_stream",
    "get_tokenizer",
    "mask_tokens",
    "pad_ids",
    "read_lines",
    "read_table",
    "read_text",
    "tiny_shakespeare",
    "train_tokenizer",
]

"""BERT with heads: pre-training, classification of texts and of tokens, answers in a text."""

from __future__ import annotations

from typing import Any, ClassVar

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad import nn, ops
from gpugrad.errors import ArgumentError
from gpugrad.models.bert import BertModel, BertPreTrainedModel
from gpugrad.models.bert_config import BertConfig
from gpugrad.models.configuration import activation_of
from gpugrad.models.outputs import (
    ClassifierOutput,
    LanguageModelOutput,
    Logits,
    PreTrainingOutput,
    QuestionAnsweringOutput,
    as_logits,
    later,
)
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import check_labels
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor

IGNORED = -100
"""Label of a position that counts nothing."""


class BertPredictionHeadTransform(nn.Module):
    """norm(act(dense(x)))."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation_of(config, "hidden_act")
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(ops.linear(x, self.dense.weight, self.dense.bias, self.activation))


class BertLMPredictionHead(nn.Module):
    """Logits of the masked tokens: word_embeddings norm(act(dense(x))) + bias."""

    def __init__(self, config: BertConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.bias = nn.Parameter(gg.zeros(config.vocab_size))
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        if config.tie_word_embeddings:
            self.decoder.weight = embedding.weight
            self.decoder.bias = self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the positions that have a label, of x (n, t, hidden).

        Where it can be seen without waiting which these are, the head runs on them alone: of BERT's
        pre-training, one position in seven.
        """
        rows, labels = x.reshape(-1, x.shape[-1]), labels.reshape(-1)
        if labels.backend.synchronous:
            (at,) = (labels != IGNORED).nonzero(as_tuple=True)
            rows, labels = rows[at], labels[at]
        weight, bias = self.decoder.weight, self.decoder.bias
        return F.linear_cross_entropy(self.transform(rows), weight, labels, linear_bias=bias)


class BertMaskedLMHead(nn.Module):
    """The head of masked-language modelling."""

    def __init__(self, config: BertConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config, embedding)

    def forward(self, x: Tensor) -> Tensor:
        return self.predictions(x)


class BertPreTrainingHeads(BertMaskedLMHead):
    """The heads of both tasks of pre-training."""

    def __init__(self, config: BertConfig, embedding: nn.Embedding) -> None:
        super().__init__(config, embedding)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


_TIED = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")


@register("bert_for_pretraining")
class BertForPreTraining(BertPreTrainedModel):
    """BERT with both heads of its pre-training.

    Gives (prediction_logits (n, t, vocabulary), seq_relationship_logits (n, 2)). With labels (n, t)
    (-100: no token to guess), next_sentence_label (n,) (0: the second sentence follows the first,
    1: it is another), or both: loss, the sum of mlm_loss and nsp_loss, first.
    """

    tied_weights: ClassVar[tuple[str, ...]] = _TIED

    def __init__(self, config: BertConfig | None = None, **fields: Any) -> None:
        super().__init__(config, **fields)
        self.bert = BertModel(self.config)
        self.cls = BertPreTrainingHeads(self.config, self.bert.embeddings.word_embeddings)
        self._init_weights()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
    ) -> PreTrainingOutput:
        output = self.bert(input_ids, attention_mask, token_type_ids, position_ids)
        x, head = output.last_hidden_state, self.cls.predictions
        nsp_logits = self.cls.seq_relationship(output.pooler_output)
        mlm = nsp = None
        if labels is not None:
            mlm = head.loss(x, check_labels(self, labels, x.shape[:2]))
        if next_sentence_label is not None:
            target = check_labels(self, next_sentence_label.reshape(-1), x.shape[:1])
            nsp = F.cross_entropy(nsp_logits, target)
        loss = mlm + nsp if mlm is not None and nsp is not None else (nsp if mlm is None else mlm)
        return PreTrainingOutput(
            loss=loss,
            prediction_logits=head(x)
            if loss is None
            else later(lambda: head(x), *head.parameters()),
            seq_relationship_logits=nsp_logits,
            mlm_loss=mlm,
            nsp_loss=nsp,
        )


@register("bert_for_masked_lm")
class BertForMaskedLM(BertPreTrainedModel):
    """BERT that guesses masked tokens: logits (n, t, vocabulary); with labels (n, t), -100 where
    there is nothing to guess, also loss."""

    tied_weights: ClassVar[tuple[str, ...]] = _TIED

    def __init__(self, config: BertConfig | None = None, **fields: Any) -> None:
        super().__init__(config, **fields)
        self.bert = BertModel(self.config, add_pooling_layer=False)
        self.cls = BertMaskedLMHead(self.config, self.bert.embeddings.word_embeddings)
        self._init_weights()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Logits | LanguageModelOutput:
        x = self.bert(input_ids, attention_mask, token_type_ids, position_ids).last_hidden_state
        if labels is None:
            return as_logits(self.cls(x))
        loss = self.cls.predictions.loss(x, check_labels(self, labels, x.shape[:2]))
        logits = later(lambda: self.cls(x), *self.cls.parameters())
        return LanguageModelOutput(loss=loss, logits=logits)


class _Classifier(BertPreTrainedModel):
    """A linear layer on what BERT gives, after dropout."""

    def __init__(self, config: BertConfig | None, pooled: bool, fields: dict[str, Any]) -> None:
        super().__init__(config, **fields)
        self.num_labels = self.config.num_labels
        self.bert = BertModel(self.config, add_pooling_layer=pooled)
        p = self.config.classifier_dropout
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob if p is None else p)
        self.classifier = nn.Linear(self.config.hidden_size, self.num_labels)
        self._init_weights()


@register("bert_for_sequence_classification")
class BertForSequenceClassification(_Classifier):
    """BERT that says what a text is: logits (n, num_labels).

    With labels also loss: cross entropy of classes (n,); mean squared error for num_labels 1
    (regression); binary cross entropy of floating labels (n, num_labels), each class a question of
    its own. config.problem_type fixes which.
    """

    def __init__(self, config: BertConfig | None = None, **fields: Any) -> None:
        super().__init__(config, True, fields)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Logits | ClassifierOutput:
        output = self.bert(input_ids, attention_mask, token_type_ids, position_ids)
        logits = as_logits(self.classifier(self.dropout(output.pooler_output)))
        if labels is None:
            return logits
        return ClassifierOutput(loss=self._loss(logits, labels), logits=logits)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind, count = self.config.problem_type, logits.shape[:1]
        if kind is None:
            floating = dtypes.is_floating(labels.dtype)
            kind = "multi_label_classification" if floating else "single_label_classification"
            kind = "regression" if self.num_labels == 1 else kind
        if kind == "single_label_classification":
            return F.cross_entropy(logits, check_labels(self, labels.reshape(-1), count))
        labels = labels.to(logits.dtype)
        if kind == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits, labels)
        if kind == "regression":
            return F.mse_loss(logits.reshape(labels.shape), labels)
        raise ArgumentError(
            f"BertConfig: problem_type = {kind!r}; known are 'regression', "
            "'single_label_classification', 'multi_label_classification'."
        )


@register("bert_for_token_classification")
class BertForTokenClassification(_Classifier):
    """BERT that says what each token is: logits (n, t, num_labels); with labels (n, t), -100 where
    none counts, also loss."""

    def __init__(self, config: BertConfig | None = None, **fields: Any) -> None:
        super().__init__(config, False, fields)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Logits | ClassifierOutput:
        output = self.bert(input_ids, attention_mask, token_type_ids, position_ids)
        logits = as_logits(self.classifier(self.dropout(output.last_hidden_state)))
        if labels is None:
            return logits
        labels = check_labels(self, labels, logits.shape[:2]).reshape(-1)
        loss = F.cross_entropy(logits.reshape(-1, self.num_labels), labels)
        return ClassifierOutput(loss=loss, logits=logits)


@register("bert_for_question_answering")
class BertForQuestionAnswering(BertPreTrainedModel):
    """BERT that finds the answer in a text: start_logits and end_logits (n, t).

    With start_positions and end_positions (n,) also loss, the mean of both cross entropies;
    positions beyond the sequence count nothing.
    """

    def __init__(self, config: BertConfig | None = None, **fields: Any) -> None:
        super().__init__(config, **fields)
        self.bert = BertModel(self.config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(self.config.hidden_size, 2)
        self._init_weights()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
    ) -> QuestionAnsweringOutput:
        output = self.bert(input_ids, attention_mask, token_type_ids, position_ids)
        both = self.qa_outputs(output.last_hidden_state)
        logits = [part.squeeze(-1) for part in both.split(1, -1)]
        loss = None
        if start_positions is not None and end_positions is not None:
            t = input_ids.shape[1]
            losses = [
                F.cross_entropy(x, position.reshape(-1).clamp(0, t), ignore_index=t)
                for x, position in zip(logits, (start_positions, end_positions), strict=True)
            ]
            loss = (losses[0] + losses[1]) / 2
        return QuestionAnsweringOutput(loss=loss, start_logits=logits[0], end_logits=logits[1])
